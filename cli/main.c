/* zmart: the shop in one command. */
#include <stdio.h>
#include <string.h>

#include "cli/backup.h"
#include "cli/bus.h"
#include "cli/keys.h"
#include "cli/ping.h"
#include "cli/restore.h"
#include "cli/shop.h"
#include "cli/tail.h"
#include "lib/bus/main.h"

static int up_main(const struct words *argv)
{
    struct shop shop;
    int status;
    if (shop_open(&shop, argv, &status)) {
        status = shop.settings.up.processes ? processes_run(&shop) : threads_run(&shop);
    }
    shop_close(&shop);
    return status;
}

static int version_main(const struct words *argv)
{
    (void)argv;
    printf("zmart %s\n", ZMART_VERSION);
    return PROCESS_OK;
}

static int help_main(const struct words *argv);

static const struct command {
    const char *name;
    const char *prose;
    int (*run)(const struct words *argv); /* argv begins with the command's name */
} commands[] = {
    {"up", "run the whole shop: gateway, bus, services, event log", up_main},
    {"bus", "show brokers, workers, queues and dead letters", bus_main},
    {"keys", "make CURVE keys and say who may speak on TCP", keys_main},
    {"tail", "show the shop's events", tail_main},
    {"ping", "ask who serves a service", ping_main},
    {"backup", "write everything that a shop keeps into one file, once or on a schedule", backup_main},
    {"restore", "put a backup into an empty store", restore_main},
    {"version", "print the version", version_main},
    {"help", "print this", help_main},
};

static void help_print(FILE *to)
{
    fprintf(to, "zmart - a shop back end\n\nusage: zmart COMMAND [flags]\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(to, "  %-9s %s\n", commands[i].name, commands[i].prose);
    }
    fprintf(to,
            "\nzmart COMMAND --help tells a command's flags. Each flag is also an environment variable: ZMART_PORT.\n");
}

static int help_main(const struct words *argv)
{
    (void)argv;
    help_print(stdout);
    return PROCESS_OK;
}

/* "--help" and "--version" mean what they mean elsewhere. */
static const struct command *command_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        bool dashed =
            name[0] == '-' && name[1] == '-' && (commands[i].run == help_main || commands[i].run == version_main);
        if (strcmp(dashed ? name + 2 : name, commands[i].name) == 0) {
            return &commands[i];
        }
    }
    return strcmp(name, "-h") == 0 ? command_find("help") : NULL;
}

int main(int argc, char **argv)
{
    const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
    if (!command) {
        if (argc > 1) {
            fprintf(stderr, "zmart: there is no command \"%.40s\"\n\n", argv[1]);
        }
        help_print(stderr);
        return PROCESS_BAD_CONFIG;
    }
    AUTO(argv_release) char **whole = argv_hide(argc, argv);
    AUTO(words_release) struct words words = {0};
    for (int i = 1; i < argc; i++) {
        words_add(&words, whole[i]);
    }
    return command->run(&words);
}
