//! A local server that stands in for the Content Posting API.
