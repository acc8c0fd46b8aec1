"""One trial to one sample; a schedule to an iterator of samples."""
