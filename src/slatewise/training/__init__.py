"""The LEARN line: from the log's columns to the files of a bundle. The only room that knows torch."""
