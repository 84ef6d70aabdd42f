// Closes all it has, uses high numbers, runs out of them, and works on.
#include "guest.h"

static void *nothing(void *unused) {
    return unused;
}

int main(void) {
    struct rlimit limit;
    for (int fd = 3; fd < 1024; fd++) close(fd);
    printf("lowest free %d\n", open("/dev/null", O_RDONLY));
    check(close_range(3, ~0u, 0) == 0);
    printf("lowest free %d\n", open("/dev/null", O_RDONLY));

    // Past the last slot of the agent's table, where the hard limit allows it or we may raise it.
    check(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    struct rlimit wide = {100000, limit.rlim_max < 100000 ? 100000 : limit.rlim_max};
    if (setrlimit(RLIMIT_NOFILE, &wide)) printf("no more than %lu\n", (unsigned long)limit.rlim_max);
    errno = 0;
    int high = dup2(3, 70000);
    printf("high %d %s\n", high, strerrorname_np(errno));
    if (high > 0) {
        check(fcntl(high, F_GETFD) == 0 && fcntl(high, F_DUPFD, 70000) == 70001);
        check(close(70001) == 0 && close(high) == 0);
    }

    struct rlimit narrow = {200, 200};
    check(setrlimit(RLIMIT_NOFILE, &narrow) == 0);
    int made = 0;
    while (open("/dev/null", O_RDONLY) >= 0) made++;
    printf("opens %d, then %s\n", made, strerrorname_np(errno));
    int ends[2];
    check(pipe(ends) == -1 && errno == EMFILE);
    check(socket(AF_UNIX, SOCK_STREAM, 0) == -1 && errno == EMFILE);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1 && errno == EMFILE);
    check(dup(0) == -1 && errno == EMFILE);
    check(!fopen("/dev/null", "r") && errno == EMFILE);
    check(!opendir("/") && errno == EMFILE);
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        free(malloc(100));
        check(close(199) == 0);
        _exit(open("/dev/null", O_RDONLY));
    }
    int status;
    check(waitpid(pid, &status, 0) == pid);
    printf("a child with none left %d\n", WEXITSTATUS(status));
    pthread_t thread;
    check(pthread_create(&thread, 0, nothing, 0) == 0 && pthread_join(thread, 0) == 0);

    for (int fd = 3; fd < 200; fd++) check(close(fd) == 0);
    errno = 0;
    check(close(3) == -1 && errno == EBADF && close(-1) == -1);
    check(dup2(3, 4) == -1 && errno == EBADF && dup2(0, -1) == -1);
    check(connect(0, 0, 0) == -1);
    int socket_fd = socket(AF_INET, SOCK_STREAM, 0);
    errno = 0;
    check(connect(socket_fd, (struct sockaddr *)8, 16) == -1);
    printf("connect to a bad address %s\n", strerrorname_np(errno));
    errno = 0;
    check(open((char *)8, O_CREAT | O_RDWR, 0600) == -1);
    printf("open of a bad name %s\n", strerrorname_np(errno));
    errno = 0;
    FILE *memory = fmemopen(0, 100, "w");
    check(memory && fclose(memory) == 0);
    printf("errno after a memory stream %d\n", errno);
    return 0;
}
