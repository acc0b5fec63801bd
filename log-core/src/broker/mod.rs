//! The shell: tasks, timers and sockets that run the deciders.
