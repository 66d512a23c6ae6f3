// Package form is the report of a major incident as an authority asks for it: the 76 fields of ITS (EU) 2025/302, each filled, drafted, or marked with what
// people must write, as JSON with the names of the schema IR-1.2.1, as a page to read and as PDF.
//
// It is a pure function of what it is given: it reads no log and no clock. It imports incident, whose figures it writes down, and of ours besides the pages on which they stand.
package form
