/* What user space asks of the kernel: processes, pipes, calls, pages; and busybox's applets on files. */
#include "linux.h"

u64 run_coremark_like(u64 n);

/* Runs a program with its output in a pipe; mixes what it prints and how it ended into the sum. */
static u64 run_program(u64 sum, const char *path, const char *const *arguments, char *const *variables)
{
    int ends[2], status = 0;
    if (syscall1(SYS_pipe, (i64)ends))
        return ~0ul;
    i64 child = syscall1(SYS_fork, 0);
    if (!child) {
        syscall3(SYS_dup2, ends[1], 1, 0);
        syscall1(SYS_close, ends[0]);
        syscall1(SYS_close, ends[1]);
        syscall3(SYS_execve, (i64)path, (i64)arguments, (i64)variables);
        exit_now(127);
    }
    syscall1(SYS_close, ends[1]);
    static u8 buffer[1 << 16];
    i64 count;
    while ((count = syscall3(SYS_read, ends[0], (i64)buffer, sizeof buffer)) > 0)
        for (i64 i = 0; i < count; i++)
            sum = (sum ^ buffer[i]) * 0x100000001b3ul;
    syscall1(SYS_close, ends[0]);
    syscall6(SYS_wait4, child, (i64)&status, 0, 0, 0, 0);
    return mix(sum, (u64)status);
}

#define BUSYBOX(sum, ...) run_program(sum, busybox_path, (const char *const[]) { "busybox", __VA_ARGS__, 0 }, environment)

/* Debian's own programs: dynamically linked, and mapped to other addresses each time. */
#define PROGRAM(sum, path, ...) run_program(sum, path, (const char *const[]) { path, __VA_ARGS__, 0 }, (char *const[]) { "LC_ALL=C", "PATH=/usr/bin", 0 })

/* Lines of words, as compressible and as sortable as text is. */
static void write_text(const char *path, u64 bytes)
{
    static char buffer[1 << 16];
    u64 state = 2026, used = 0;
    i64 file = syscall3(SYS_open, (i64)path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    while (bytes) {
        u64 word = next_random(&state), length = 2 + word % 8;
        u64 letters = (word >> 8) % 997 * 0x9e3779b97f4a7c15ul;
        for (u64 i = 0; i < length && bytes; i++, bytes--) {
            buffer[used++] = i + 1 < length ? (char)('a' + (letters >> (i * 5) & 15)) : (word >> 20) % 8 ? ' ' : '\n';
            if (used == sizeof buffer || bytes == 1) {
                syscall3(SYS_write, file, (i64)buffer, (i64)used);
                used = 0;
            }
        }
    }
    syscall1(SYS_close, file);
}

static u64 run_prepare(u64 n)
{
    write_text("text", n << 10);
    write_text("lines", n << 7);
    return BUSYBOX(BUSYBOX(0, "sh", "-c", "exec \"$0\" gzip -c text >text.gz", busybox_path), "md5sum", "text", "lines");
}

static u64 run_nothing(u64 n)
{
    return n;
}

static u64 run_shell(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = BUSYBOX(sum, "sh", "-c",
            "i=0 s=0 t=; while [ $i -lt 3000 ]; do i=$((i+1)); case $i in *7) s=$((s+i*3));; *) t=$t.; esac; [ ${#t} -gt 40 ] && t=${t#????????}; done; echo $s $t");
    return sum;
}

static u64 run_sha256sum(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = BUSYBOX(sum, "sha256sum", "text");
    return sum;
}

static u64 run_gzip(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = BUSYBOX(sum, "gzip", "-9", "-c", "text");
    return sum;
}

static u64 run_gunzip(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = BUSYBOX(sum, "gunzip", "-c", "text.gz");
    return sum;
}

static u64 run_sort(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = BUSYBOX(sum, "sort", "lines");
    return sum;
}

static u64 run_fork(u64 n)
{
    u64 sum = 0;
    while (n--) {
        int status = 0;
        i64 child = syscall1(SYS_fork, 0);
        if (!child)
            exit_now((int)(n & 63));
        syscall6(SYS_wait4, child, (i64)&status, 0, 0, 0, 0);
        sum = mix(sum, (u64)status);
    }
    return sum;
}

static u64 run_fork_exec(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = BUSYBOX(sum, "true");
    return sum;
}

static u64 run_dynamic_exec(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = PROGRAM(sum, "/usr/bin/ls", "text", "lines");
    return sum;
}

static u64 run_bash(u64 n)
{
    u64 sum = 0;
    while (n--)
        sum = PROGRAM(sum, "/usr/bin/bash", "-c",
            "declare -A seen; /usr/bin/head -n 400 lines | { while read -r a b rest; do seen[$a]=$((${seen[$a]:-0}+${#b})); done;"
            "for key in \"${!seen[@]}\"; do echo \"$key ${seen[$key]}\"; done; } | /usr/bin/sort | /usr/bin/tail -n 20;"
            "for i in 1 2 3 4 5 6 7 8; do n=$(echo $i | /usr/bin/wc -c); s+=$n; done; echo ${s// /}");
    return sum;
}

/* Two processes that wake one another by pipes of one byte. */
static u64 run_ping_pong(u64 n)
{
    int there[2], back[2], status = 0;
    u8 ball = 1;
    u64 sum = 0;
    if (syscall1(SYS_pipe, (i64)there) || syscall1(SYS_pipe, (i64)back))
        return ~0ul;
    i64 child = syscall1(SYS_fork, 0);
    if (!child) {
        for (u64 i = 0; i < n; i++) {
            syscall3(SYS_read, there[0], (i64)&ball, 1);
            ball = (u8)(ball * 5 + 1);
            syscall3(SYS_write, back[1], (i64)&ball, 1);
        }
        exit_now(0);
    }
    for (u64 i = 0; i < n; i++) {
        syscall3(SYS_write, there[1], (i64)&ball, 1);
        syscall3(SYS_read, back[0], (i64)&ball, 1);
        sum = mix(sum, ball);
    }
    syscall6(SYS_wait4, child, (i64)&status, 0, 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        syscall1(SYS_close, there[i]);
        syscall1(SYS_close, back[i]);
    }
    return sum;
}

static u64 run_syscalls(u64 n)
{
    u64 odd = 0;
    i64 first = syscall1(SYS_getppid, 0);
    for (u64 i = 0; i < n; i++)
        odd += syscall1(SYS_getppid, 0) != first;
    return odd;
}

/* Maps, touches and unmaps 4 MiB: a page fault for each 4 KiB. */
static u64 run_page_faults(u64 n)
{
    enum { BYTES = 4 << 20 };
    u64 sum = 0;
    while (n--) {
        volatile u8 *pages = map_pages(BYTES);
        for (u64 i = 0; i < BYTES; i += 4096)
            pages[i] = (u8)(n + 1);
        sum += pages[n % 1024 * 4096];
        syscall3(SYS_munmap, (i64)pages, BYTES, 0);
    }
    return sum;
}

const struct job processes[] = {
    { "prepare", run_prepare, 0 }, { "nothing", run_nothing, 0 }, { "shell", run_shell, 0 }, { "sha256sum", run_sha256sum, 0 },
    { "gzip", run_gzip, 0 }, { "gunzip", run_gunzip, 0 }, { "sort", run_sort, 0 }, { "coremark-like", run_coremark_like, 0 },
    { "fork", run_fork, 0 }, { "fork+exec", run_fork_exec, 0 }, { "dynamic exec", run_dynamic_exec, 0 }, { "bash", run_bash, 0 }, { "pipe ping-pong", run_ping_pong, 0 }, { "syscalls", run_syscalls, 0 },
    { "page faults", run_page_faults, 0 }, { 0, 0, 0 },
};
