#include <string.h>

#include "gateway/program.h"
#include "gateway/router.h"
#include "lib/bus/main.h"

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--routes") == 0) {
        struct router *router = router_new();
        router_print(router, stdout);
        router_destroy(&router);
        return 0;
    }
    return process_main(&gateway_program, argc, argv);
}
