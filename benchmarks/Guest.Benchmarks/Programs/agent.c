/*
 * Runs the jobs that its standard input names, one line each: "COUNT NAME". Answers, one line each:
 *   "@done CHECKSUM ELAPSED CPU NAME" (hexadecimal; nanoseconds by the monotonic clock; nanoseconds of processor time
 *   of this process and its children), "@unsupported NAME" where the processor lacks what the job needs, "@unknown NAME".
 * "@ready" comes first; an empty line or the end of input ends it. Arguments: a busybox, a folder to work in.
 */
#include "linux.h"

const char *busybox_path = "/bin/busybox";
char *const *environment;

/* The compiler may call these for copies and initialisers. */
__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memset(void *target, int value, u64 count)
{
    for (u8 *at = target; count--;)
        *at++ = (u8)value;
    return target;
}

__attribute__((optimize("no-tree-loop-distribute-patterns"))) void *memcpy(void *target, const void *source, u64 count)
{
    u8 *to = target;
    for (const u8 *from = source; count--;)
        *to++ = *from++;
    return target;
}

#define KERNEL(function) u64 function(u64 n)
KERNEL(run_integer); KERNEL(run_branchy); KERNEL(run_sieve); KERNEL(run_crc); KERNEL(run_hash); KERNEL(run_calls); KERNEL(run_switch);
KERNEL(run_indirect); KERNEL(run_bits); KERNEL(run_division); KERNEL(run_sha256); KERNEL(run_copy); KERNEL(run_rep_movs);
KERNEL(run_strlen); KERNEL(run_chase); KERNEL(run_random); KERNEL(run_qsort); KERNEL(run_matrix_int); KERNEL(run_matrix_double);
KERNEL(run_mandelbrot); KERNEL(run_saxpy); KERNEL(run_dot_avx2);

const struct job kernels[] = {
    { "integer", run_integer, 0 }, { "branchy", run_branchy, 0 }, { "sieve", run_sieve, 0 }, { "crc32 table", run_crc, 0 },
    { "hash", run_hash, 0 }, { "call/ret", run_calls, 0 }, { "switch", run_switch, 0 }, { "indirect calls", run_indirect, 0 },
    { "bit tricks", run_bits, 0 }, { "division", run_division, 0 }, { "sha256", run_sha256, 0 }, { "copy loop", run_copy, 0 },
    { "rep movs", run_rep_movs, 0 }, { "strlen", run_strlen, 0 }, { "list chase", run_chase, 0 }, { "random 8 MiB", run_random, 0 },
    { "qsort", run_qsort, 0 }, { "matrix int", run_matrix_int, 0 }, { "matrix double", run_matrix_double, 0 },
    { "mandelbrot", run_mandelbrot, 0 }, { "saxpy SSE", run_saxpy, 0 }, { "dot AVX2", run_dot_avx2, 1 }, { 0, 0, 0 },
};

static void cpuid(u32 leaf, u32 *b, u32 *c)
{
    u32 a = leaf, d;
    *c = 0;
    asm volatile("cpuid" : "+a"(a), "=b"(*b), "+c"(*c), "=d"(d));
}

/* Bit 27 of leaf 1: the system saves extended state; XCR0: of XMM and YMM; bit 5 of leaf 7: AVX2. */
static int has_avx2(void)
{
    u32 b, c, low, high;
    cpuid(1, &b, &c);
    if (!(c >> 27 & 1))
        return 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    cpuid(7, &b, &c);
    return (low & 6) == 6 && (b >> 5 & 1);
}

static u64 monotonic(void)
{
    i64 time[2];
    syscall3(SYS_clock_gettime, 1, (i64)time, 0);
    return (u64)time[0] * 1000000000 + (u64)time[1];
}

static u64 cpu_time(void)
{
    u64 total = 0;
    for (int who = -1; who <= 0; who++) {
        i64 usage[18];
        syscall3(SYS_getrusage, who, (i64)usage, 0);
        total += (u64)(usage[0] + usage[2]) * 1000000000 + (u64)(usage[1] + usage[3]) * 1000;
    }
    return total;
}

static char line[256];
static u64 length;

static void put(const char *text)
{
    while (*text && length < sizeof line)
        line[length++] = *text++;
}

static void put_number(u64 value, u32 base)
{
    char digits[24];
    int count = 0;
    do
        digits[count++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (count && length < sizeof line)
        line[length++] = digits[--count];
    put(" ");
}

static void send(const char *name)
{
    put(name);
    put("\n");
    syscall3(SYS_write, 1, (i64)line, (i64)length);
    length = 0;
}

static const struct job *find(const char *name)
{
    for (const struct job *job = kernels; job->name; job++)
        if (same(job->name, name))
            return job;
    for (const struct job *job = processes; job->name; job++)
        if (same(job->name, name))
            return job;
    return 0;
}

static void serve(u64 count, const char *name)
{
    const struct job *job = find(name);
    if (!job || (job->needs_avx2 && !has_avx2())) {
        put(job ? "@unsupported " : "@unknown ");
        send(name);
        return;
    }
    u64 cpu = cpu_time(), start = monotonic(), sum = job->run(count);
    u64 elapsed = monotonic() - start;
    cpu = cpu_time() - cpu;
    put("@done ");
    put_number(sum, 16);
    put_number(elapsed, 10);
    put_number(cpu, 10);
    send(name);
}

/* A terminal would echo and edit; a pipe has no such settings, and says so. */
static void make_raw(void)
{
    struct {
        u32 input, output, control, local;
        u8 line, characters[19];
    } settings;
    if (syscall3(SYS_ioctl, 0, 0x5401, (i64)&settings))
        return;
    settings.input = settings.output = settings.local = 0;
    settings.characters[5] = 0; /* VTIME */
    settings.characters[6] = 1; /* VMIN */
    syscall3(SYS_ioctl, 0, 0x5402, (i64)&settings);
}

__attribute__((used)) static void run(u64 *stack)
{
    u64 arguments = stack[0];
    const char **argument = (const char **)(stack + 1);
    environment = (char *const *)(stack + arguments + 2);
    if (arguments > 1)
        busybox_path = argument[1];
    if (arguments > 2 && syscall1(SYS_chdir, (i64)argument[2])) {
        put("@unknown folder");
        send(argument[2]);
        exit_now(1);
    }
    make_raw();
    put("@ready");
    send("");
    char request[128];
    u64 used = 0;
    char c;
    while (syscall3(SYS_read, 0, (i64)&c, 1) == 1) {
        if (c != '\n') {
            if (used < sizeof request - 1)
                request[used++] = c;
            continue;
        }
        if (!used)
            break;
        request[used] = 0;
        used = 0;
        const char *at = request;
        u64 count = 0;
        while (*at >= '0' && *at <= '9')
            count = count * 10 + (u64)(*at++ - '0');
        serve(count, *at ? at + 1 : at);
    }
    exit_now(0);
}

__attribute__((naked, used, noreturn)) void _start(void)
{
    asm("xor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall run");
}
