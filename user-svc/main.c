#include "lib/bus/main.h"
#include "user-svc/program.h"

int main(int argc, char **argv)
{
    return process_main(&user_program, argc, argv);
}
