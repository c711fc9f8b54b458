"""Drive a child process that may crash: both ends of its pipe, forks, and limits on its memory."""
