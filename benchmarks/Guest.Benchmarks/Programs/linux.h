/* What a program needs of Linux on x86-64, without a C library: the same bytes run on the host and in every guest. */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;

enum {
    SYS_read = 0, SYS_write = 1, SYS_open = 2, SYS_close = 3, SYS_mmap = 9, SYS_munmap = 11, SYS_ioctl = 16, SYS_pipe = 22,
    SYS_dup2 = 33, SYS_fork = 57, SYS_execve = 59, SYS_exit = 60, SYS_wait4 = 61, SYS_chdir = 80, SYS_getrusage = 98,
    SYS_getppid = 110, SYS_clock_gettime = 228,
};

enum { O_RDONLY = 0, O_WRONLY = 1, O_CREAT = 0100, O_TRUNC = 01000 };

static inline i64 syscall6(i64 number, i64 a, i64 b, i64 c, i64 d, i64 e, i64 f)
{
    register i64 r10 asm("r10") = d;
    register i64 r8 asm("r8") = e;
    register i64 r9 asm("r9") = f;
    i64 result;
    asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

static inline i64 syscall3(i64 number, i64 a, i64 b, i64 c)
{
    return syscall6(number, a, b, c, 0, 0, 0);
}

static inline i64 syscall1(i64 number, i64 a)
{
    return syscall6(number, a, 0, 0, 0, 0, 0);
}

__attribute__((noreturn)) static inline void exit_now(int code)
{
    for (;;)
        syscall1(SYS_exit, code);
}

/* Private memory, zeroed. */
static inline void *map_pages(u64 bytes)
{
    return (void *)syscall6(SYS_mmap, 0, (i64)bytes, 3, 0x22, -1, 0);
}

/* A generator whose low bits are as good as the high ones. */
static inline u64 next_random(u64 *state)
{
    u64 x = *state;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    *state = x;
    return x * 0x9e3779b97f4a7c15ul >> 11;
}

static inline u64 mix(u64 sum, u64 value)
{
    return (sum ^ value) * 0x100000001b3ul + (sum >> 29);
}

static inline int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

/* A named piece of work: does it n times and returns a checksum. */
struct job {
    const char *name;
    u64 (*run)(u64 n);
    int needs_avx2;
};

extern const struct job kernels[], processes[];
extern const char *busybox_path;
extern char *const *environment;
