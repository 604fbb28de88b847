namespace Godwit.Cli.Guest;

/// <summary>The guest's /init, for busybox's sh. docs/linux-guest.md tells what it understands on the kernel command line.</summary>
internal static class InitScript
{
    public const string Text =
        """
        #!/bin/busybox sh
        export PATH=/bin HOME=/root TERM=linux PS1='godwit:\w# '
        /bin/busybox mount -t proc proc /proc
        /bin/busybox mount -t sysfs sysfs /sys
        /bin/busybox mount -t devtmpfs devtmpfs /dev
        /bin/busybox --install -s /bin
        # Only a dying kernel may speak between the lines of what runs here.
        dmesg -n 1
        hostname godwit
        cd /root

        workload= poweroff=
        for word in $(cat /proc/cmdline); do
            case $word in
                godwit.workload=*) workload=${word#godwit.workload=} ;;
                godwit.poweroff) poweroff=1 ;;
            esac
        done

        read -r up rest </proc/uptime
        echo "godwit: user space is up, $(uname -r), $up s"

        if [ -n "$workload" ]; then
            if [ -x /bin/workload ]; then
                # All of its words; the shell splits at IFS only here.
                (IFS=,; exec /bin/workload $workload)
                echo "godwit: workload ended with status $?"
            else
                echo "godwit: this initramfs has no /bin/workload"
            fi
        fi

        if [ -z "$poweroff" ]; then
            # A session of its own on the console, so that Ctrl-C reaches what runs in the shell. Leaving it ends the machine.
            setsid cttyhack sh
        fi
        echo "godwit: power off"
        poweroff -f

        """;
}
