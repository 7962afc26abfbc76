// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "fleet.h"
#include "units.h"

struct command {
	enum fleet_order order;
	uint32_t id;
};

static struct ship {
	pid_t pid;
	int socket;
} ships[FLEET_MAX];

static uint32_t ship_count;

static void obey(const struct vm *vm, const struct command *command,
		 struct fleet_answer *answer)
{
	static bool ours_first;

	switch (command->order) {
	case FLEET_SAVE:
		if (ours_first)
			answer->ours = unit_preserve(vm, command->id);
		answer->base = unit_kvm_save(vm);
		if (!ours_first)
			answer->ours = unit_preserve(vm, command->id);
		ours_first = !ours_first;
		break;
	case FLEET_RESTORE:
		answer->base = unit_kvm_restore(vm);
		answer->ours = unit_restore(vm, command->id);
		break;
	case FLEET_ENTRY:
		if (read_entry(vm, (void *)answer->entry, sizeof(answer->entry)))
			die("KCH_IOC_READ failed");
		break;
	}
}

static void __attribute__((noreturn)) sail(int socket)
{
	struct fleet_answer answer;
	struct command command;
	struct vm vm;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	vm_create_ready(&vm, 1, BENCH_OFFSET);
	memset(&answer, 0, sizeof(answer));
	if (write(socket, &answer, sizeof(answer)) != sizeof(answer))
		die("the fleet's socket: %s", errno_name(errno));
	while (read(socket, &command, sizeof(command)) == sizeof(command)) {
		memset(&answer, 0, sizeof(answer));
		device = open(KCH_DEVICE, O_RDWR | O_CLOEXEC);
		if (device < 0)
			die("%s: %s", KCH_DEVICE, errno_name(errno));
		obey(&vm, &command, &answer);
		close(device);
		if (write(socket, &answer, sizeof(answer)) != sizeof(answer))
			break;
	}
	vm_destroy(&vm);
	exit(0);
}

static void hear(const struct ship *ship, struct fleet_answer *answer)
{
	if (read(ship->socket, answer, sizeof(*answer)) != sizeof(*answer))
		die("a VM's process has ended");
}

void fleet_start(uint32_t count)
{
	struct fleet_answer ready;

	for (ship_count = 0; ship_count < count; ship_count++) {
		struct ship *ship = &ships[ship_count];
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
			die("socketpair: %s", errno_name(errno));
		ship->pid = fork();
		if (ship->pid < 0)
			die("fork: %s", errno_name(errno));
		if (!ship->pid) {
			uint32_t i;

			for (i = 0; i < ship_count; i++)
				close(ships[i].socket);
			close(pair[0]);
			if (device >= 0)
				close(device);
			sail(pair[1]);
		}
		close(pair[1]);
		ship->socket = pair[0];
		hear(ship, &ready);
	}
}

void fleet_order(uint32_t index, enum fleet_order order, uint32_t id,
		 struct fleet_answer *answer)
{
	struct command command = { order, id };

	if (write(ships[index].socket, &command, sizeof(command)) !=
	    sizeof(command))
		die("a VM's process has ended");
	hear(&ships[index], answer);
}

void fleet_end(void)
{
	uint32_t i;

	for (i = 0; i < ship_count; i++)
		close(ships[i].socket);
	for (i = 0; i < ship_count; i++)
		waitpid(ships[i].pid, NULL, 0);
	ship_count = 0;
}
