// SPDX-License-Identifier: GPL-2.0
/*
 * Start a VMM with libkvmclock-run.so preloaded.  All it does itself is to
 * find reasons why that would not work, and to say so before the guest starts.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "run.h"

#define PRELOAD		"libkvmclock-run.so"
#define EXIT_USAGE	2
#define EXIT_NO_PROGRAM	127

static const char usage_text[] =
	"usage: kvmclock-run --id UUID [options] [--] VMM [argument...]\n"
	"\n"
	"Starts a VMM so that its guest keeps its clocks over a kexec of the host.\n"
	"\n"
	"  --id UUID         the guest's id, the same before and after the kexec\n"
	"  --name NAME       a name for kvmclockctl list\n"
	"  --require         a guest that comes back must not start without its clock\n"
	"  --incoming WHEN   whether the guest comes back: auto (default), yes, no\n"
	"  --wait SECONDS    for the host's TSC frequency to settle (default 10)\n"
	"  --unsealed        also from a record that the reboot path did not finish\n"
	"  --any-wall        also if the wall clock speaks against the TSC\n"
	"  --log FILE        messages also to FILE, appended\n"
	"  --library FILE    instead of the " PRELOAD " that belongs to this program\n"
	"  -v, --verbose     say also what went right\n"
	"  -h, --help        this text\n"
	"  -V, --version     the version\n";

enum { OPT_ID = 256, OPT_NAME, OPT_REQUIRE, OPT_INCOMING, OPT_WAIT, OPT_UNSEALED,
	OPT_ANY_WALL, OPT_LOG, OPT_LIBRARY };

static const struct option long_options[] = {
	{ "id", required_argument, NULL, OPT_ID },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "require", no_argument, NULL, OPT_REQUIRE },
	{ "incoming", required_argument, NULL, OPT_INCOMING },
	{ "wait", required_argument, NULL, OPT_WAIT },
	{ "unsealed", no_argument, NULL, OPT_UNSEALED },
	{ "any-wall", no_argument, NULL, OPT_ANY_WALL },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "library", required_argument, NULL, OPT_LIBRARY },
	{ "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{}
};

__attribute__((noreturn, format(printf, 2, 3)))
static void die(int status, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "kvmclock-run: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(status);
}

static void set(const char *name, const char *value)
{
	if (setenv(name, value, 1))
		die(EXIT_FAILURE, "%s: %s", name, strerror(errno));
}

/*
 * For a VMM may change its working directory, and the dynamic linker does not
 * look there.  Links stay: they may be what makes a path fit.
 */
static char *absolute_path(const char *path)
{
	char folder[PATH_MAX], *absolute;

	if (path[0] == '/') {
		absolute = strdup(path);
		if (!absolute)
			die(EXIT_FAILURE, "no memory");
		return absolute;
	}
	if (!getcwd(folder, sizeof(folder)))
		die(EXIT_FAILURE, "the working directory: %s", strerror(errno));
	if (asprintf(&absolute, "%s/%s", folder, path) < 0)
		die(EXIT_FAILURE, "no memory");
	return absolute;
}

/* Beside this program, as built; or in the library folder, as installed. */
static char *find_library(void)
{
	static const char *const places[] = {
		PRELOAD, "../lib/" PRELOAD, KCH_LIBDIR "/" PRELOAD,
	};
	char self[PATH_MAX], path[2 * PATH_MAX];
	ssize_t length;
	size_t i;

	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length < 0)
		die(EXIT_FAILURE, "/proc/self/exe: %s", strerror(errno));
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		if (places[i][0] == '/')
			snprintf(path, sizeof(path), "%s", places[i]);
		else
			snprintf(path, sizeof(path), "%s/%s", self, places[i]);
		if (!access(path, R_OK))
			return realpath(path, NULL);
	}
	return NULL;
}

/* As execvp() will find it; empty if it will not. */
static void find_program(const char *name, char path[PATH_MAX])
{
	const char *list = getenv("PATH");
	char *copy, *rest, *folder;

	if (strchr(name, '/')) {
		snprintf(path, PATH_MAX, "%s", name);
		return;
	}
	copy = strdup(list ? list : "/bin:/usr/bin");
	rest = copy;
	path[0] = '\0';
	while (copy && (folder = strsep(&rest, ":"))) {
		snprintf(path, PATH_MAX, "%s/%s", folder[0] ? folder : ".", name);
		if (!access(path, X_OK))
			break;
		path[0] = '\0';
	}
	free(copy);
}

/*
 * Why nothing of ours can be preloaded to a program, which nobody would notice;
 * or NULL.  One without an interpreter is linked statically.  What cannot be
 * read or is no ELF file (a script) is left for exec() to judge.
 */
static const char *unfit(const char *path)
{
	const char *reason = NULL;
	Elf64_Ehdr header;
	Elf64_Phdr segment;
	int fd, i;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (read(fd, &header, sizeof(header)) != sizeof(header) ||
	    memcmp(header.e_ident, ELFMAG, SELFMAG))
		goto out;
	if (header.e_ident[EI_CLASS] != ELFCLASS64) {
		reason = "is a 32-bit program: the library is for 64-bit ones";
		goto out;
	}
	reason = "is linked statically: nothing can be preloaded; it must use libkvmclock-handover";
	for (i = 0; reason && i < header.e_phnum; i++) {
		off_t at = (off_t)(header.e_phoff + (uint64_t)i * header.e_phentsize);

		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment) ||
		    segment.p_type == PT_INTERP)
			reason = NULL;
	}
out:
	close(fd);
	return reason;
}

static void check_program(const char *name)
{
	char path[PATH_MAX];
	const char *reason;
	struct stat status;

	find_program(name, path);
	if (!path[0] || stat(path, &status))
		die(EXIT_NO_PROGRAM, "%s: not found", name);
	reason = unfit(path);
	if (reason)
		die(EXIT_FAILURE, "%s %s", path, reason);
	/* Of root's programs, too. */
	if ((status.st_mode & S_ISUID) && status.st_uid != getuid())
		die(EXIT_FAILURE, "%s changes its user to %u when it starts: nothing is preloaded then; use a copy that is not set-user-ID",
		    path, status.st_uid);
	if ((status.st_mode & S_ISGID) && status.st_gid != getgid())
		die(EXIT_FAILURE, "%s changes its group to %u when it starts: nothing is preloaded then; use a copy that is not set-group-ID",
		    path, status.st_gid);
	if (geteuid() && getxattr(path, "security.capability", NULL, 0) > 0)
		die(EXIT_FAILURE, "%s gets capabilities when it starts: nothing is preloaded then; run it as root",
		    path);
}

/*
 * The absolute path of a library that can be preloaded: what the dynamic linker
 * cannot load it leaves out, and the VMM runs on its own.
 */
static char *check_library(const char *library)
{
	char *path = absolute_path(library);

	if (access(path, R_OK))
		die(EXIT_FAILURE, "%s: not found", library);
	if (!dlopen(path, RTLD_NOW | RTLD_LOCAL))
		die(EXIT_FAILURE, "cannot be preloaded: %s", dlerror());
	return path;
}

static void preload(const char *library)
{
	const char *others = getenv("LD_PRELOAD");
	char *value;

	if (strpbrk(library, " :"))
		die(EXIT_FAILURE, "%s: the dynamic linker takes no path with a space or colon in it",
		    library);
	if (asprintf(&value, "%s%s%s", library, others ? ":" : "",
		     others ? others : "") < 0)
		die(EXIT_FAILURE, "no memory");
	set("LD_PRELOAD", value);
	free(value);
}

int main(int argc, char **argv)
{
	uint8_t id[KCH_UUID_SIZE];
	const char *library = NULL, *id_text = NULL;
	uint32_t flags = 0;
	char number[16], *end;
	int option;

	/* None of these from an outer run. */
	unsetenv(RUN_ENV_NAME);
	unsetenv(RUN_ENV_REQUIRE);
	unsetenv(RUN_ENV_INCOMING);
	unsetenv(RUN_ENV_WAIT);
	unsetenv(RUN_ENV_LOG);
	unsetenv(RUN_ENV_VERBOSE);
	while ((option = getopt_long(argc, argv, "+vhV", long_options, NULL)) != -1) {
		switch (option) {
		case OPT_ID:
			id_text = optarg;
			break;
		case OPT_NAME:
			if (strlen(optarg) >= KCH_NAME_SIZE)
				die(EXIT_USAGE, "--name: longer than %d bytes",
				    KCH_NAME_SIZE - 1);
			set(RUN_ENV_NAME, optarg);
			break;
		case OPT_REQUIRE:
			set(RUN_ENV_REQUIRE, "1");
			break;
		case OPT_INCOMING:
			if (strcmp(optarg, "auto") && strcmp(optarg, "yes") &&
			    strcmp(optarg, "no"))
				die(EXIT_USAGE, "--incoming %s: not auto, yes or no",
				    optarg);
			set(RUN_ENV_INCOMING, optarg);
			break;
		case OPT_WAIT:
			if (*optarg < '0' || *optarg > '9' ||
			    strtoul(optarg, &end, 10) > 3600 || *end)
				die(EXIT_USAGE, "--wait %s: not a number of seconds up to 3600",
				    optarg);
			set(RUN_ENV_WAIT, optarg);
			break;
		case OPT_UNSEALED:
			flags |= KCH_RESTORE_UNSEALED;
			break;
		case OPT_ANY_WALL:
			flags |= KCH_RESTORE_ANY_WALL;
			break;
		case OPT_LOG:
			set(RUN_ENV_LOG, absolute_path(optarg));
			break;
		case OPT_LIBRARY:
			library = optarg;
			break;
		case 'v':
			set(RUN_ENV_VERBOSE, "1");
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case 'V':
			puts("kvmclock-run " KCH_VERSION);
			return 0;
		default:
			fputs(usage_text, stderr);
			return EXIT_USAGE;
		}
	}
	if (!id_text || optind == argc) {
		fputs(usage_text, stderr);
		return EXIT_USAGE;
	}
	if (kch_uuid_parse(id_text, id))
		die(EXIT_USAGE, "--id %s: not a UUID", id_text);
	set(RUN_ENV_ID, id_text);
	snprintf(number, sizeof(number), "%u", flags);
	set(RUN_ENV_FLAGS, number);
	if (!library)
		library = find_library();
	if (!library)
		die(EXIT_FAILURE, PRELOAD ": not found");
	library = check_library(library);
	check_program(argv[optind]);
	preload(library);
	execvp(argv[optind], argv + optind);
	die(errno == ENOENT ? EXIT_NO_PROGRAM : EXIT_FAILURE, "%s: %s",
	    argv[optind], strerror(errno));
}
