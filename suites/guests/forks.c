// Forks from one thread and from several, while others allocate. Children allocate, open, exec, fork, exit.
#include "guest.h"

enum { ALONE = 1500, THREADS = 4, EACH = 250 };

static atomic_int over;

static int child(int number) {
    char *block = malloc(1000 + number);
    block[number] = 1;
    int fd = open("/dev/null", O_RDWR);
    check(fd >= 0);
    if (number % 25 == 0) {
        execl("/bin/sh", "sh", "-c", "exit 3", (char *)0);
        _exit(99);
    }
    if (number % 10 == 0) {
        pid_t inner = fork();
        if (inner == 0) _exit(4);
        int status;
        check(waitpid(inner, &status, 0) == inner && WEXITSTATUS(status) == 4);
    }
    free(block);
    close(fd);
    _exit(number & 63);
}

static long forks(int count) {
    long sum = 0;
    for (int number = 0; number < count; number++) {
        pid_t pid = fork();
        check(pid >= 0);
        if (pid == 0) child(number);
        int status;
        check(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        sum += WEXITSTATUS(status);
    }
    return sum;
}

static void *forks_in_thread(void *result) {
    *(long *)result = forks(EACH);
    return 0;
}

static void *allocates(void *unused) {
    while (!atomic_load(&over)) {
        void *block = malloc(rand() % 5000);
        int fd = open("/dev/null", O_RDONLY);
        close(fd);
        free(block);
    }
    return unused;
}

int main(void) {
    printf("alone %ld\n", forks(ALONE));
    fflush(stdout);
    pthread_t busy, threads[THREADS];
    long sums[THREADS];
    pthread_create(&busy, 0, allocates, 0);
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, forks_in_thread, &sums[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], 0);
        printf("thread %ld\n", sums[i]);
    }
    atomic_store(&over, 1);
    pthread_join(busy, 0);
    return 0;
}
