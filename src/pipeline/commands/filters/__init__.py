"""The actions of `stillroom filter`: their options, and the calls that they become."""
