using System.ComponentModel;
using Xunit.Abstractions;
using Xunit.Sdk;

namespace Godwit.Linux.Tests.Facts;

/// <summary>A test that is skipped, not failed, when it ends in a <see cref="GuestUnavailableException"/>: xunit 2 decides on skips before it runs anything.</summary>
public sealed class LinuxTestCase : XunitTestCase
{
    [EditorBrowsable(EditorBrowsableState.Never)]
    [Obsolete("For xunit, which fills it in.")]
    public LinuxTestCase()
    {
    }

    public LinuxTestCase(IMessageSink diagnostics, TestMethodDisplay display, TestMethodDisplayOptions options, ITestMethod method)
        : base(diagnostics, display, options, method)
    {
    }

    public override async Task<RunSummary> RunAsync(IMessageSink diagnosticMessageSink, IMessageBus messageBus, object[] constructorArguments, ExceptionAggregator aggregator, CancellationTokenSource cancellationTokenSource)
    {
        using SkippingBus bus = new(messageBus);
        RunSummary summary = await base.RunAsync(diagnosticMessageSink, bus, constructorArguments, aggregator, cancellationTokenSource);
        summary.Failed -= bus.Skipped;
        summary.Skipped += bus.Skipped;
        return summary;
    }

    private sealed class SkippingBus(IMessageBus inner) : IMessageBus
    {
        public int Skipped { get; private set; }

        public bool QueueMessage(IMessageSinkMessage message)
        {
            if (message is not ITestFailed failed || failed.ExceptionTypes.FirstOrDefault() != typeof(GuestUnavailableException).FullName)
                return inner.QueueMessage(message);
            Skipped++;
            return inner.QueueMessage(new TestSkipped(failed.Test, failed.Messages[0]));
        }

        // The bus behind it is the runner's.
        public void Dispose()
        {
        }
    }
}
