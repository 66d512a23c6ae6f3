//go:build !linux

package main

const tellsSlack = "CORDON_TEST_TELLS_SLACK"

func tellSlack() {}
