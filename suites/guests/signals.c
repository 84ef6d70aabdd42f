// Handlers that interrupt everything and call what a handler may; one on a stack of its own; one that jumps.
#include "guest.h"

enum { SIGNALS = 1000, JUMPS = 300 };

static volatile sig_atomic_t handled, forwarded, on_own_stack;
static atomic_int over;
static pthread_t target;
static sigjmp_buf home;
static int sink;

static void second(int signal) {
    (void)signal;
    forwarded++;
}

// write, open, dup, close, sigaction, sigprocmask, kill, _Fork, _exit: signal-safety(7). Not fork: it takes the
// lock of the malloc that this may have interrupted.
static void handler(int signal) {
    int before = errno;
    sigset_t set;
    struct sigaction action;
    check(write(sink, "x", 1) == 1);
    int fd = open("/dev/null", O_RDONLY);
    check(fd >= 0);
    int other = dup(fd);
    check(close(fd) == 0 && close(other) == 0);
    check(sigaction(SIGUSR2, 0, &action) == 0 && action.sa_handler == second);
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    check(sigprocmask(SIG_BLOCK, &set, 0) == 0 && sigprocmask(SIG_UNBLOCK, &set, 0) == 0);
    check(kill(getpid(), SIGUSR2) == 0);
    if (handled % 200 == 0) {
        pid_t pid = _Fork();
        check(pid >= 0);
        if (pid == 0) _exit(signal == SIGUSR1 ? 6 : 7);
        int status;
        check(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 6);
    }
    handled++;
    errno = before;
}

static void *sends(void *unused) {
    while (!atomic_load(&over)) {
        pthread_kill(target, SIGUSR1);
        sched_yield();
    }
    return unused;
}

static void own_stack(int signal) {
    (void)signal;
    char here;
    stack_t stack;
    check(sigaltstack(0, &stack) == 0 && (stack.ss_flags & SS_ONSTACK));
    check(&here > (char *)stack.ss_sp && &here < (char *)stack.ss_sp + stack.ss_size);
    int fd = open("/dev/null", O_RDONLY);
    check(close(fd) == 0);
    on_own_stack++;
}

static void jumps(int signal) {
    siglongjmp(home, signal);
}

int main(void) {
    sink = open("/dev/null", O_WRONLY);
    target = pthread_self();
    struct sigaction action = {.sa_handler = second};
    check(sigaction(SIGUSR2, &action, 0) == 0);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    check(sigaction(SIGUSR1, &action, 0) == 0);
    pthread_t sender;
    sigset_t blocked;
    sigfillset(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, 0);
    pthread_create(&sender, 0, sends, 0);
    pthread_sigmask(SIG_UNBLOCK, &blocked, 0);
    unsigned size = 1;
    while (handled < SIGNALS) {
        size = size * 1103515245 + 12345;
        char *block = malloc(size % 100000 + 1);
        block[0] = 1;
        block = realloc(block, size % 200000 + 1);
        check(block[0] == 1);
        char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(page != MAP_FAILED);
        page[5000] = 1;
        int fd = open("/dev/null", O_RDONLY);
        check(close(fd) == 0 && munmap(page, 8192) == 0);
        free(block);
    }
    atomic_store(&over, 1);
    pthread_join(sender, 0);
    printf("handled %d forwarded %d\n", handled >= SIGNALS, forwarded > 0);

    size_t room = sysconf(_SC_SIGSTKSZ);
    stack_t stack = {.ss_sp = malloc(room), .ss_size = room};
    check(sigaltstack(&stack, 0) == 0);
    action.sa_handler = own_stack;
    action.sa_flags = SA_ONSTACK;
    check(sigaction(SIGUSR1, &action, 0) == 0);
    for (int i = 0; i < 100; i++) raise(SIGUSR1);
    printf("on its own stack %d\n", on_own_stack);

    // Out of open and close, which a handler may leave: they are safe to interrupt.
    volatile int jumped = 0;
    check(signal(SIGALRM, jumps) != SIG_ERR);
    struct itimerval soon = {.it_value = {.tv_usec = 100}};
    while (jumped < JUMPS) {
        if (sigsetjmp(home, 1) == 0) {
            setitimer(ITIMER_REAL, &soon, 0);
            for (;;) {
                int fd = open("/dev/null", O_RDONLY);
                close(fd >= 0 ? fd : 500);
            }
        }
        jumped++;
        // What was open when it jumped is lost.
        if (jumped % 50 == 0)
            for (int fd = sink + 1; fd < 200; fd++) close(fd);
    }
    printf("jumped %d\n", jumped);
    fflush(stdout);
    signal(SIGTERM, SIG_DFL);
    raise(SIGTERM);
    return 1;
}
