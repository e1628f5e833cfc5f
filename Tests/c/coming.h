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
#pragma weak walrus_last_index_of_term
#pragma weak walrus_seek_time
#pragma weak walrus_replace_suffix
#pragma weak walrus_rotate
#pragma weak walrus_segments
#pragma weak walrus_meta_set
#pragma weak walrus_meta_get
#pragma weak walrus_meta_delete
#pragma weak walrus_meta_each
#pragma weak walrus_meta_stage

#define HAS(function) ((function) != NULL)

#endif /* COMING_H */
