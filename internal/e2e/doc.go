// Package e2e holds the tests from outside: they run the built binary against
// GitLab and Feishu simulated, over HTTP, and see only what a user would.
package e2e
