// Package configs reads the one configuration file: strictly, with every error at its line and with a hint, and turns it into the parts
// that the rooms ask for. Loading has no effect; the hall decides whether a loaded configuration comes into force.
//
// It imports the rooms whose parts it composes, and is the only one with a YAML module.
package configs
