typedef int store_is_being_written;
