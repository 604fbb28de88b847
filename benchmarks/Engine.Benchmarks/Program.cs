using Godwit.Engine.Benchmarks;

return args is ["coverage", .. string[] rest] ? await CoverageReport.RunAsync(rest) : InterpreterBenchmark.Run(args);
