// Little stack and much of it: the smallest threads, the deepest calls, a signal's own smallest stack.
#include "guest.h"

static char directory[] = "/tmp/guest-stacks-XXXXXX";

static void *does_everything(void *unused) {
    char from[64], to[64];
    snprintf(from, sizeof from, "%s/from", directory);
    snprintf(to, sizeof to, "%s/to", directory);
    int fd = open(from, O_CREAT | O_RDWR, 0600);
    check(fd >= 0);
    int other = fcntl(fd, F_DUPFD_CLOEXEC, 20);
    check(other >= 0 && close(other) == 0 && close(fd) == 0);
    check(rename(from, to) == 0 && unlink(to) == 0);
    check(mkdir(from, 0700) == 0 && rmdir(from) == 0);
    void *block = malloc(100000);
    block = realloc(block, 200000);
    free(block);
    void *page = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(munmap(page, 4096) == 0);
    int ends[2];
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0 && close(ends[0]) == 0 && close(ends[1]) == 0);
    pid_t pid;
    char *argv[] = {"true", 0};
    check(posix_spawnp(&pid, "true", 0, 0, argv, environ) == 0);
    int status;
    check(waitpid(pid, &status, 0) == pid && status == 0);
    return unused;
}

static long deep(int depth) {
    volatile char frame[64];
    frame[0] = 1;
    if (depth == 0) {
        void *block = malloc(77);
        int fd = open("/dev/null", O_RDONLY);
        check(block && fd >= 0);
        free(block);
        return close(fd);
    }
    return deep(depth - 1) + frame[0];
}

static volatile sig_atomic_t handled;

static void handles(int signal) {
    (void)signal;
    int fd = open("/dev/null", O_RDONLY);
    check(fd >= 0 && close(fd) == 0);
    handled++;
}

int main(void) {
    check(mkdtemp(directory));
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    check(pthread_attr_setstacksize(&attributes, PTHREAD_STACK_MIN) == 0);
    for (int i = 0; i < 50; i++) {
        pthread_t thread;
        check(pthread_create(&thread, &attributes, does_everything, 0) == 0);
        check(pthread_join(thread, 0) == 0);
    }
    printf("smallest threads\n");
    printf("deep %ld\n", deep(60000));
    // Guarded below, so that one byte too much is seen.
    size_t room = sysconf(_SC_MINSIGSTKSZ) + 4096;
    room = (room + 4095) & ~(size_t)4095;
    char *memory = mmap(0, room + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(memory != MAP_FAILED && mprotect(memory, 4096, PROT_NONE) == 0);
    stack_t stack = {.ss_sp = memory + 4096, .ss_size = room};
    check(sigaltstack(&stack, 0) == 0);
    struct sigaction action = {.sa_handler = handles, .sa_flags = SA_ONSTACK};
    check(sigaction(SIGUSR1, &action, 0) == 0);
    for (int i = 0; i < 20; i++) raise(SIGUSR1);
    printf("handled %d\n", handled);
    rmdir(directory);
    return 0;
}
