// Thousands of short threads: that return, leave by pthread_exit, are cancelled, are detached.
#include "guest.h"

enum { ROUNDS = 1500 };

static pthread_key_t key;
static atomic_int destroyed, cleaned, detached;

// A destructor that allocates, opens, and asks for another round of destructors.
static void destroys(void *value) {
    void *block = malloc(3000);
    int fd = open("/dev/null", O_RDONLY);
    check(block && fd >= 0);
    close(fd);
    free(block);
    if (value == (void *)1) pthread_setspecific(key, (void *)2);
    atomic_fetch_add(&destroyed, 1);
}

static void *returns(void *argument) {
    pthread_setspecific(key, (void *)1);
    return argument;
}

static void leaves_deeply(int depth, void *argument) {
    char frame[100];
    memset(frame, depth, sizeof frame);
    if (depth == 0) pthread_exit(argument);
    if (depth < 0) return;
    leaves_deeply(depth - 1, argument);
    check(frame[0] == depth);
}

static void *leaves(void *argument) {
    pthread_setspecific(key, (void *)2);
    leaves_deeply(10, argument);
    return 0;
}

static void cleans(void *unused) {
    (void)unused;
    atomic_fetch_add(&cleaned, 1);
}

// Is cancelled inside of a call that the agent forwards.
static void *waits(void *end) {
    pthread_cleanup_push(cleans, 0);
    struct msghdr message = {0};
    recvmsg(*(int *)end, &message, 0);
    pthread_cleanup_pop(0);
    return 0;
}

static void *goes(void *unused) {
    atomic_fetch_add(&detached, 1);
    return unused;
}

int main(void) {
    long returned = 0, left = 0, cancelled = 0;
    int ends[2];
    pthread_key_create(&key, destroys);
    check(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (long i = 0; i < ROUNDS; i++) {
        pthread_t one, two, three, four;
        void *result;
        check(pthread_create(&one, 0, returns, (void *)i) == 0);
        for (int more = 0; more < 2; more++) {
            check(pthread_create(&two, 0, leaves, (void *)(2 * i)) == 0);
            check(pthread_join(two, &result) == 0);
            left += (long)result;
        }
        check(pthread_join(one, &result) == 0);
        returned += (long)result;
        if (i % 10 == 0) {
            check(pthread_create(&three, 0, waits, &ends[0]) == 0);
            check(pthread_cancel(three) == 0);
            check(pthread_join(three, &result) == 0);
            cancelled += result == PTHREAD_CANCELED;
            int error;
            while ((error = pthread_create(&four, &attributes, goes, 0)) == EAGAIN) sched_yield();
            check(error == 0);
        }
    }
    while (atomic_load(&detached) < ROUNDS / 10) sched_yield();
    // A thread that is cancelled before it runs at all has nothing to clean.
    printf("returned %ld left %ld cancelled %ld destroyed %d cleaned %d\n", returned, left, cancelled,
           atomic_load(&destroyed), atomic_load(&cleaned) <= ROUNDS / 10);
    pthread_exit(0);
}
