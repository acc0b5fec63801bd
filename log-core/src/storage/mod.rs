//! Files: the journal, the partitions and the checkpoints that tie them together.
