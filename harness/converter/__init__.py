"""Adapter files as users have them: converted, inspected, compared, made smaller, merged."""
