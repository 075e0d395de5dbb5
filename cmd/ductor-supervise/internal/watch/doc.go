// Package watch tells a supervisor that files appeared or changed: Files, by
// which it is asked for something, and Trees, of which its command is made.
//
// Only folders are watched, never files: a file that is saved by renaming
// another over it leaves a watch on the dead one. Where the system cannot tell
// (its limits are reached, or the files lie on another machine) two looks are
// compared instead.
//
// What counts is a file with a wanted ending that is neither in the default
// list, nor matched by a glob of the user's, nor ignored by a .gitignore. A link
// counts as a file. If it leads to a folder, turning it elsewhere is a change;
// what is behind it is not watched, unless it is a root.
package watch
