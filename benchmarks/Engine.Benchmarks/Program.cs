using Godwit.Engine.Benchmarks;

return args switch
{
    ["coverage", .. string[] rest] => await CoverageReport.RunAsync(rest),
    ["kernels", .. string[] rest] => KernelBenchmark.Run(rest),
    _ => InterpreterBenchmark.Run(args),
};
