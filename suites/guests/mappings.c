// Mappings made, moved, cut and replaced by several threads.
#include "guest.h"

enum { THREADS = 4, ROUNDS = 3000, PAGE = 4096 };

static void *maps(void *result) {
    long sum = 0;
    for (int round = 0; round < ROUNDS; round++) {
        size_t pages = 3 + round % 5;
        char *at = mmap(0, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(at != MAP_FAILED);
        at[0] = 1;
        at[2 * PAGE] = 2;
        at = mremap(at, pages * PAGE, 2 * pages * PAGE, MREMAP_MAYMOVE);
        check(at != MAP_FAILED && at[0] == 1 && at[2 * PAGE] == 2);
        // The front, the middle, then the rest.
        check(munmap(at, PAGE) == 0 && munmap(at + 3 * PAGE, PAGE) == 0);
        // In the place of the second.
        char *again = mmap(at + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        check(again == at + PAGE && again[0] == 0);
        sum += at[2 * PAGE];
        check(munmap(at + PAGE, 2 * PAGE) == 0 && munmap(at + 4 * PAGE, (2 * pages - 4) * PAGE) == 0);
    }
    *(long *)result = sum;
    return 0;
}

int main(void) {
    pthread_t threads[THREADS];
    long sums[THREADS];
    for (int i = 0; i < THREADS; i++) pthread_create(&threads[i], 0, maps, &sums[i]);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], 0);
        printf("%ld\n", sums[i]);
    }
    errno = 0;
    check(mmap(0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == EINVAL);
    check(munmap((void *)1, PAGE) == -1 && errno == EINVAL);
    check(munmap((void *)PAGE, (size_t)-1) == -1 && errno == EINVAL);
    check(mremap((void *)PAGE, PAGE, 2 * PAGE, 0) == MAP_FAILED && errno == EFAULT);
    printf("errors as ever\n");
    return 0;
}
