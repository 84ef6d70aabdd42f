// Runs out of memory and of file size, asks for the impossible, and works on.
#include "guest.h"

enum { BLOCK = 16 << 20, BLOCKS_MAX = 1000 };

int main(void) {
    volatile size_t huge = (size_t)-1;
    errno = 0;
    check(!malloc(huge) && errno == ENOMEM);
    errno = 0;
    check(!calloc(huge / 2, 3) && errno == ENOMEM);
    errno = 0;
    check(!reallocarray(0, huge / 2, 3) && errno == ENOMEM);
    char *block = malloc(100);
    strcpy(block, "kept");
    errno = 0;
    check(!realloc(block, huge) && errno == ENOMEM && !strcmp(block, "kept"));
    errno = 0;
    check(!reallocarray(block, huge / 2, 3) && errno == ENOMEM && !strcmp(block, "kept"));
    block = realloc(block, 1 << 20);
    check(block && !strcmp(block, "kept"));
    free(block);
    void *aligned = 0;
    check(posix_memalign(&aligned, 3, 100) == EINVAL && posix_memalign(&aligned, 1 << 16, 100) == 0);
    check((size_t)aligned % (1 << 16) == 0);
    free(aligned);
    aligned = aligned_alloc(4096, 4096);
    check(aligned && (size_t)aligned % 4096 == 0);
    free(aligned);
    errno = 77;
    free(0);
    free(malloc(0));
    check(errno == 77);

    struct rlimit room = {RLIM_INFINITY, RLIM_INFINITY}, narrow = {1 << 30, RLIM_INFINITY};
    check(setrlimit(RLIMIT_AS, &narrow) == 0);
    static void *blocks[BLOCKS_MAX];
    int made = 0;
    while (made < BLOCKS_MAX && (blocks[made] = malloc(BLOCK))) made++;
    printf("runs out: %d %s\n", made > 0 && made < BLOCKS_MAX, strerrorname_np(errno));
    pid_t pid = fork();
    check(pid >= 0);
    if (pid == 0) _exit(open("/dev/null", O_RDONLY) < 0);
    int status;
    check(waitpid(pid, &status, 0) == pid);
    printf("a child without memory %d\n", status);
    for (int i = 0; i < made; i++) free(blocks[i]);
    check(setrlimit(RLIMIT_AS, &room) == 0);

    // Whoever makes a larger file is ended by SIGXFSZ.
    struct rlimit small = {1000, RLIM_INFINITY};
    check(setrlimit(RLIMIT_FSIZE, &small) == 0);
    fflush(stdout);
    pid = fork();
    check(pid >= 0);
    if (pid == 0) {
        free(malloc(100));
        execl("/bin/sh", "sh", "-c", "exit 8", (char *)0);
    }
    check(waitpid(pid, &status, 0) == pid);
    printf("a child that may write little %d %d\n", WIFEXITED(status), WEXITSTATUS(status));
    return 0;
}
