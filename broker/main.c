#include "broker/program.h"
#include "lib/bus/main.h"

int main(int argc, char **argv)
{
    return process_main(&broker_program, argc, argv);
}
