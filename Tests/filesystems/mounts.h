/* mounts.h - ext4, XFS and btrfs in a file, through a loop device, mounted where only the case sees it
 *
 * The loop device detaches itself when the last user closes it (LO_FLAGS_AUTOCLEAR), and all mounts are in a mount namespace
 * of the case's own. So nothing stays behind, however the case ends, and no device is touched that was not attached here.
 * Where something cannot be had, the case is skipped.
 */
#ifndef MOUNTS_H
#define MOUNTS_H

#include "../c/support.h"

#include <linux/fs.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>

typedef struct file_system {
    const char *name;
    uint32_t sector;        /* what the file system takes for granted that a disk writes as one                             */
    const char *make[12];   /* small journals; everything initialised, so that no thread does it later                      */
} file_system_t;

/* btrfs writes its superblock, one block of 4 KiB with one checksum, in place. */
static const file_system_t file_systems[] = {
    {"ext4", 512, {"mkfs.ext4", "-q", "-F", "-m", "0", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0"}},
    {"xfs", 512, {"mkfs.xfs", "-q", "-f"}},
    {"btrfs", 4096, {"mkfs.btrfs", "-q", "-f"}},
};

static struct {
    const file_system_t *kind;
    char device[32], place[1100];
    int loop; /* keeps the device attached, and forgets what it has cached */
} mounted;

/* ---- The device ----------------------------------------------------------------------------- */

static inline void attach_loop(const char *path) {
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), file = open(path, O_RDWR | O_CLOEXEC);
    if (control < 0)
        SKIP("there are no loop devices here: %s", strerror(errno));
    CHECK(file >= 0);
    for (int attempt = 0; attempt < 50; attempt++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            SKIP("no loop device can be had: %s", strerror(errno));
        snprintf(mounted.device, sizeof mounted.device, "/dev/loop%d", number);
        int device = open(mounted.device, O_RDWR | O_CLOEXEC);
        if (device < 0)
            SKIP("%s cannot be opened: %s", mounted.device, strerror(errno));
        struct loop_config config = {.fd = (uint32_t)file, .block_size = mounted.kind->sector, .info.lo_flags = LO_FLAGS_AUTOCLEAR};
        int result = ioctl(device, LOOP_CONFIGURE, &config), error = errno;
        /* One that is open for writing could not be mounted on some kernels. */
        mounted.loop = result == 0 ? open(mounted.device, O_RDONLY | O_CLOEXEC) : -1;
        close(device);
        if (result == 0) {
            CHECK(mounted.loop >= 0);
            close(file);
            close(control);
            return;
        }
        if (error != EBUSY) /* somebody else was quicker */
            SKIP("no loop device can be attached: %s", strerror(error));
    }
    SKIP("all loop devices are in use");
}

static inline void fill_device(void) {
    pid_t child = start();
    if (child == 0) {
        const char *arguments[14] = {NULL};
        size_t count = 0;
        while (mounted.kind->make[count] != NULL) {
            arguments[count] = mounted.kind->make[count];
            count++;
        }
        arguments[count] = mounted.device;
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(nowhere, STDOUT_FILENO);
        dup2(nowhere, STDERR_FILENO);
        setenv("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin", 1);
        execvp(arguments[0], (char **)(uintptr_t)arguments);
        _exit(127);
    }
    int status = await(child);
    if (status == 127)
        SKIP("there is no %s here", mounted.kind->make[0]);
    CHECK_U64(0, status);
}

/* ---- Mounting ------------------------------------------------------------------------------- */

/* With the options that are the default. 0 or errno. */
static inline int try_mount(void) {
    if (ioctl(mounted.loop, BLKFLSBUF, 0) != 0) /* the disk may be another one than it was */
        return errno;
    if (mount(mounted.device, mounted.place, mounted.kind->name, 0, NULL) != 0)
        return errno;
    return 0;
}

static inline void mount_disk(void) {
    int error = try_mount();
    if (error != 0)
        FAIL("%s does not mount %s: %s", mounted.kind->name, mounted.device, strerror(error));
}

/* A process that was killed may hold files a moment longer. */
static inline void unmount_disk(void) {
    int result = -1;
    for (int wait = 0; wait < 2000 && (result = umount(mounted.place)) != 0 && errno == EBUSY; wait++)
        usleep(1000);
    if (result != 0)
        FAIL("%s cannot be unmounted: %s", mounted.place, strerror(errno));
}

/* Mounts are the case's own from here on. */
static inline void enter_namespace(void) {
    if (geteuid() != 0)
        SKIP("only root can mount file systems");
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        SKIP("no mount namespace can be had: %s", strerror(errno));
}

/* Makes a file system of that kind in the file at `path`, to be mounted at `place`. */
static inline void make_file_system(const char *kind, const char *path, const char *place) {
    for (size_t i = 0; i < sizeof file_systems / sizeof file_systems[0]; i++)
        if (strcmp(file_systems[i].name, kind) == 0)
            mounted.kind = &file_systems[i];
    attach_loop(path);
    fill_device();
    CHECK(fsync(mounted.loop) == 0);
    snprintf(mounted.place, sizeof mounted.place, "%s", place);
    CHECK(mkdir(place, 0700) == 0);
    int error = try_mount();
    if (error == ENODEV)
        SKIP("this kernel has no %s", kind);
    CHECK_U64(0, error);
    unmount_disk();
}

#endif /* MOUNTS_H */
