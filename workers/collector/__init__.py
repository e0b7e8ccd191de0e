"""The collector of one venue: frames and bodies in, validated messages out."""
