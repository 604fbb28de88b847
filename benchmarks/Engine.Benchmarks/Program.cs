using Godwit.Engine.Benchmarks;

return args switch
{
    ["coverage", .. string[] rest] => await CoverageReport.RunAsync(rest),
    ["stalls", .. string[] rest] => await StallReport.RunAsync(rest),
    ["kernels", .. string[] rest] => KernelBenchmark.Run(rest),
    _ => InterpreterBenchmark.Run(args),
};
