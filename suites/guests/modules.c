// Shared objects that come and go, while other threads allocate and open.
#include "guest.h"

enum { ROUNDS = 300 };

static atomic_int over;

static void *works(void *unused) {
    while (!atomic_load(&over)) {
        free(malloc(5000));
        close(open("/dev/null", O_RDONLY));
    }
    return unused;
}

int main(void) {
    const char *names[] = {"libm.so.6", "libresolv.so.2", "librt.so.1", "libanl.so.1"};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, works, 0);
    int opened = 0, found = 0;
    for (int round = 0; round < ROUNDS; round++) {
        void *handle = dlopen(names[round % 4], round % 3 ? RTLD_NOW : RTLD_LAZY);
        check(handle);
        opened++;
        double (*cosine)(double) = (double (*)(double))dlsym(handle, "cos");
        if (cosine) found += cosine(0) == 1;
        check(dlclose(handle) == 0);
    }
    check(!dlopen("/no/such/object.so", RTLD_NOW) && dlerror());
    atomic_store(&over, 1);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
    printf("opened %d found %d\n", opened, found);
    return 0;
}
