// Locks itself in: strict seccomp(2), and a filter that kills for every call that is not on its list.
//
// The list is what this program needs, and after the empty line what the agent adds (`strace` shows it).
#include "guest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static const int ALLOWED[] = {
    SYS_read, SYS_write, SYS_openat, SYS_close, SYS_brk, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_madvise,
    SYS_futex, SYS_clone3, SYS_clone, SYS_set_robust_list, SYS_rseq, SYS_exit, SYS_exit_group, SYS_wait4,
    SYS_rt_sigprocmask, SYS_rt_sigaction, SYS_getrandom,

    SYS_getpid, SYS_gettid, SYS_fstat, SYS_fstatfs, SYS_ftruncate, SYS_prlimit64,
};
enum { COUNT = sizeof ALLOWED / sizeof ALLOWED[0] };

static void filters(void) {
    struct sock_filter code[COUNT + 3];
    code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int i = 0; i < COUNT; i++)
        code[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ALLOWED[i], COUNT - i, 0);
    code[COUNT + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[COUNT + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {COUNT + 3, code};
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void *works(void *unused) {
    char *block = malloc(50000);
    int fd = open("/dev/null", O_RDONLY);
    check(block && fd >= 0 && close(fd) == 0);
    free(block);
    return unused;
}

static void report(const char *what, pid_t pid) {
    int status;
    check(waitpid(pid, &status, 0) == pid);
    printf("%s: %s %d\n", what, WIFEXITED(status) ? "exit" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    fflush(stdout);
}

int main(void) {
    setvbuf(stdout, 0, _IONBF, 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)) _exit(1);
        char *buffer = "strict\n";
        if (write(1, buffer, 7) != 7) _exit(2);
        syscall(SYS_exit, 11);
    }
    report("strict", pid);
    pid = fork();
    if (pid == 0) {
        filters();
        works(0);
        pthread_t thread;
        check(pthread_create(&thread, 0, works, 0) == 0 && pthread_join(thread, 0) == 0);
        pid_t inner = fork();
        if (inner == 0) {
            works(0);
            _exit(12);
        }
        int status;
        check(waitpid(inner, &status, 0) == inner);
        _exit(WEXITSTATUS(status));
    }
    report("filtered", pid);
    pid = fork();
    if (pid == 0) {
        filters();
        getppid();
        _exit(13);
    }
    report("forbidden", pid);
    return 0;
}
