/*===- FQAT.h - C interface to fqat-opt -*- C -*-===*\
|*                                                                            *|
|* Part of the fqat-opt project, under the Apache License v2.0 with LLVM      *|
|* Exceptions. See LICENSE for license information.                           *|
|* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception                    *|
|*                                                                            *|
\*===----------------------------------------------------------------------===*/
/*
 * What fqat-opt does, in the process of its caller:
 *
 *   FqatOptions *options = fqatOptionsCreate();
 *   fqatOptionsSet(options, "nop-name", "nop");
 *   FqatResult *result = fqatFix("model.pt", "fixed.pt", options);
 *   if (fqatResultGetStatus(result) != FQAT_DONE)
 *     fputs(fqatResultGetText(result), stderr);
 *   fqatResultDestroy(result);
 *   fqatOptionsDestroy(options);
 *
 * The interface is stable: functions and statuses are added, none changes or
 * goes away while the library's major version (its SONAME) stays.
 *
 * Paths are those of the system and end in a null byte; texts are UTF-8, but
 * for paths in them. Nothing is printed, no signal handler is set, no C++
 * exception leaves a call. Calls may come from several threads at a time; one
 * set of options must not be changed while another thread uses it.
 */
#ifndef FQAT_C_FQAT_H
#define FQAT_C_FQAT_H

#if defined(__GNUC__)
#define FQAT_EXPORT __attribute__((visibility("default")))
#else
#define FQAT_EXPORT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What came of a call: the exit codes of fqat-opt. */
typedef enum FqatStatus {
  FQAT_DONE = 0,
  /* A check found something. */
  FQAT_FOUND = 1,
  /* A file that cannot be read or written, or an option that is none. */
  FQAT_UNUSABLE = 2,
  /* A rule cannot be met on this model, or not with the same bits. */
  FQAT_NOT_MET = 3,
  /* The fixed model is not shown to compute the same. */
  FQAT_NOT_PROVED = 4,
  /* A bug of fqat-opt. */
  FQAT_INTERNAL = 70
} FqatStatus;

typedef struct FqatOptions FqatOptions;
typedef struct FqatResult FqatResult;

/* The versions of the library, MLIR and libtorch, as `fqat-opt --version`
   prints them. The text is never freed. */
FQAT_EXPORT const char *fqatGetVersion(void);

/* Options as fqat-opt has them when none is given. Null if there is no
   memory. */
FQAT_EXPORT FqatOptions *fqatOptionsCreate(void);
FQAT_EXPORT void fqatOptionsDestroy(FqatOptions *options);

/* Sets an option by its name on the command line without the dashes ("exclude",
   "nop-name", "clone-params", "emit", "report", "ignore", ...), to the value
   that it has there; `value` is null for a flag ("functionalize", "no-prove",
   "verify"). Options that may be given several times are added.

   Returns null, or, if fqat-opt has no such option of a run or refuses the
   value, why. That text lives until the next call with these options, which
   stay as they were. */
FQAT_EXPORT const char *fqatOptionsSet(FqatOptions *options, const char *name,
                                       const char *value);

/* Finds what breaks the rules in a model (.pt, .mlir, .mlirbc) and writes no
   model. `options` may be null. Null if there is no memory. */
FQAT_EXPORT FqatResult *fqatCheck(const char *input,
                                  const FqatOptions *options);

/* Fixes a model and writes it; the extension of `output` says as what, unless
   the option "emit" does. Unless the status is FQAT_DONE, `output` is what it
   was. `options` may be null. Null if there is no memory. */
FQAT_EXPORT FqatResult *fqatFix(const char *input, const char *output,
                                const FqatOptions *options);

FQAT_EXPORT FqatStatus fqatResultGetStatus(const FqatResult *result);

/* What fqat-opt prints: findings with their Python lines, errors with what to
   do, a summary. Lives as long as the result. */
FQAT_EXPORT const char *fqatResultGetText(const FqatResult *result);

/* The same as JSON, as `--report FILE.json` writes it: docs/report.schema.json
   describes it. Lives as long as the result. */
FQAT_EXPORT const char *fqatResultGetReport(const FqatResult *result);

FQAT_EXPORT void fqatResultDestroy(FqatResult *result);

#ifdef __cplusplus
}
#endif

#endif /* FQAT_C_FQAT_H */
