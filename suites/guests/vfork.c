// The child of a vfork puts its descriptors in order: its parent's stay as they are.
#include "guest.h"

enum { KEPT = 50 };

int main(void) {
    check(dup2(open("/dev/null", O_RDONLY), KEPT) == KEPT);
    char *argv[] = {"/bin/sh", "-c", "exit 3", 0};
    pid_t pid = vfork();
    check(pid >= 0);
    if (pid == 0) {
        dup2(0, KEPT);
        close_range(3, ~0u, 0);
        execv(argv[0], argv);
        _exit(98);
    }
    int status;
    check(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
    check(fcntl(KEPT, F_GETFD) >= 0);
    printf("%d\n", pid != 0);
    return 0;
}
