#include "lib/bus/main.h"
#include "order-svc/program.h"

int main(int argc, char **argv)
{
    return process_main(&order_program, argc, argv);
}
