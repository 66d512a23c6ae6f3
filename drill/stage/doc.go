// Package stage builds the sandbox of a drill: from the configuration of production the one of a second node beside it, with the same parties, regions, routes, health, gate
// and law, whose every address is a stand-in's.
//
// The ground of a sandbox is a piece of the loopback range that production does not use. Each declared place gets a prefix of its own there, with the same region, contract
// and validity, and each member of a party an address in the prefix of its place; so whatever the law says of production it says of the sandbox, and Open refuses a sandbox
// in which it does not. Peers answer there with the transports, names and media protection that production expects, and a name server gives production's names with the
// addresses of the stand-ins. A Wire is the wall: nothing leaves for an address that is not on the ground. What a stand-in is not like is told, not hidden: Stage.Differs.
//
// It opens sockets and files in the folder that it is given. It imports configs, internal/carrier, internal/nameserver and sovereign.
package stage
