#include "weir/scarcity.h"

#include <errno.h>

bool
scarcity_caused(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}
