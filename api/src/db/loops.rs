//! Further queries of the loops and of metrics. Statements here run on both databases, as everywhere in this folder.
