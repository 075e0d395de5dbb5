package wine_test

// cannot lists packages, and tests as PACKAGE:TEST, that do not run under wine, each with its
// reason. What does not apply to Windows as such says so itself, in the test.
var cannot = map[string]string{
	"cmd/ductor-service/internal/backend:TestInsideTheService": "asks about its parent, and what wine starts from Unix has none",

	"cmd/ductor-sandbox/internal/engine":   "its tests know what Unix says of sockets that do not answer",
	"cmd/ductor-sandbox/internal/image":    "its tests know what Unix says of files that are none",
	"cmd/ductor-sandbox/internal/settings": "its paths are those of Unix",
	"cmd/ductor-update/internal/index":     "its tests, which wait for servers of all kinds, do not end there",
	"cmd/ductor-update/internal/install":   "its trees are those of Unix; the forms of Windows are tested as data on Linux",

	"cmd/ductor-update/internal/state:TestUnreadableIsLeftAlone": "of modes, which Windows has not",

	"cmd/ductor-supervise:TestKilledSupervisors": "sends SIGUSR1, and looks for what is left in /proc",
	"cmd/ductor-supervise:TestTakeoversAtOnce":   "looks for what is left in /proc",
	"cmd/ductor-supervise:TestValues":            "of the names of signals",

	"cmd/ductor-supervise/internal/capture:TestRotationUnderLoad":       "thousands of files take wine too long",
	"cmd/ductor-supervise/internal/capture:TestLast":                    "thousands of files take wine too long",
	"cmd/ductor-supervise/internal/capture:TestLastWords":               "thousands of starts take wine too long",
	"cmd/ductor-supervise/internal/capture:TestThrough100MB":            "takes wine too long",
	"cmd/ductor-supervise/internal/capture:TestSomebodyElse":            "lumberjack opens the log so that nobody else can rename or remove it on Windows",
	"cmd/ductor-supervise/internal/capture:TestSomethingElseHasTheName": "the same",
	"cmd/ductor-supervise/internal/capture:TestGlob":                    "of names that Windows does not allow",
	"cmd/ductor-supervise/internal/capture:TestFollowUnderLoad":         "a reader that follows hundreds of rotations a second misses lines here; why is not known, and it may be so on Windows. One that follows a few is in windows.txtar",

	"cmd/ductor-supervise/internal/capture:TestMore": "removes a folder with a file that is open, which wine does late",

	"cmd/ductor-supervise/internal/journal:TestReaderThroughRotations":     "counts rotations by os.Stat, which finds out on Windows which file it was only when it is compared",
	"cmd/ductor-supervise/internal/journal:TestFailedRotationIsTriedAgain": "removes a folder that is in the way, which wine does late",

	"cmd/ductor-supervise/internal/supervisor:TestLookPath": "of files that are programs by their mode",

	"cmd/ductor-supervise/internal/watch": "several wait for what wine does not tell, such as a change of times alone or the end of a folder that is watched; watch.txtar and watching.txtar run",
	"internal/common":                     "asks the go command about the layout of the sources",

	"internal/common/holder:TestGuard":     "asks about its parent, and what wine starts from Unix has none",
	"internal/common/lockfile:TestResolve": "wine follows symbolic links without telling of them",
}
