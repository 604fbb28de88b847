using Godwit.Engine.Benchmarks;

return InterpreterBenchmark.Run(args);
