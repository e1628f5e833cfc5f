/* coming.h - functions of the header that the library may not have yet: tests leave out what needs them */
#ifndef COMING_H
#define COMING_H

#include <walrus.h>

#pragma weak walrus_cursor_open
#pragma weak walrus_cursor_next
#pragma weak walrus_cursor_prev
#pragma weak walrus_cursor_seek
#pragma weak walrus_cursor_position
#pragma weak walrus_cursor_wait
#pragma weak walrus_cursor_close

#define HAS(function) ((function) != NULL)

#endif /* COMING_H */
