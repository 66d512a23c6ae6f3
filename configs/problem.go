package configs

import "github.com/cordonsip/cordon/internal/strict"

type (
	// Problem is one thing that is wrong in a file, where it stands, and what to do about it.
	Problem = strict.Problem
	// Problems is every error of one file, in the order of its lines.
	Problems = strict.Problems
	// Duration is written with its unit, "4s".
	Duration = strict.Duration
)
