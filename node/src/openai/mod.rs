//! OpenAI requests and answers, read in one pass without a tree.
