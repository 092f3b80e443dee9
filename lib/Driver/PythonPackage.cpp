//===- PythonPackage.cpp - Writes a model as a Python package -*- C++ -*-===//
//
// Part of the fqat-opt project, under the Apache License v2.0 with LLVM
// Exceptions. See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "PythonPackage.h"

#include "fqat/Support/OutputPath.h"
#include "fqat/TorchScript/StateDict.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cstdio>
#include <fcntl.h>
#include <unistd.h>

using namespace mlir;

namespace fqat {

static constexpr StringLiteral initText =
    R"PY("""A model fixed by fqat-opt: `build()` makes it."""

from .model import build

__all__ = ["build"]
)PY";

/// Opens a file, has it written, and brings it to the disk.
static llvm::Error
writeFile(const Twine &path,
          llvm::function_ref<llvm::Error(OutputFile &)> write) {
  std::error_code code;
  OutputFile file(path.str(), code);
  if (code)
    return llvm::errorCodeToError(code);
  llvm::Error error = write(file);
  std::error_code written = file.finish();
  return error ? std::move(error) : llvm::errorCodeToError(written);
}

/// Whether a folder is one that may be replaced.
static llvm::Error checkReplaceable(StringRef path) {
  std::error_code code;
  auto refuse = [&](const Twine &why) {
    return llvm::createStringError(std::make_error_code(std::errc::file_exists),
                                   why + "; name another folder, or remove it");
  };
  if (!llvm::sys::fs::is_directory(path))
    return refuse("it exists and is no folder");
  for (llvm::sys::fs::directory_iterator it(path, code), end;
       !code && it != end; it.increment(code)) {
    StringRef name = llvm::sys::path::filename(it->path());
    bool isOurs = llvm::StringSwitch<bool>(name)
                      .Cases({"__init__.py", "model.py", "weights.pt",
                              "constants.pt", "__pycache__"},
                             true)
                      .Default(false);
    if (!isOurs)
      return refuse("the folder holds '" + name +
                    "', which is not of a "
                    "package of fqat-opt");
  }
  if (code)
    return llvm::errorCodeToError(code);
  SmallString<128> init(path);
  llvm::sys::path::append(init, "__init__.py");
  if (auto buffer = llvm::MemoryBuffer::getFile(init);
      buffer && (*buffer)->getBuffer() != initText)
    return refuse("the folder is not of a package of fqat-opt");
  return llvm::Error::success();
}

/// Removes a folder that nobody needs any more. If it cannot be, it is litter,
/// and no reason to fail.
static void discard(const Twine &folder) {
  if (llvm::sys::fs::remove_directories(folder))
    return;
}

/// Puts a finished folder in its place.
static llvm::Error moveIntoPlace(const std::string &from,
                                 const std::string &to) {
  auto fail = [] {
    return llvm::errorCodeToError(
        std::error_code(errno, std::generic_category()));
  };
  if (!llvm::sys::fs::exists(to))
    return rename(from.c_str(), to.c_str()) == 0 ? llvm::Error::success()
                                                 : fail();
  // Both change places at once; what was there goes.
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(),
                RENAME_EXCHANGE) != 0) {
    // Not every file system can.
    std::string old = from + ".old";
    if (rename(to.c_str(), old.c_str()) != 0)
      return fail();
    if (rename(from.c_str(), to.c_str()) != 0) {
      llvm::Error error = fail();
      (void)rename(old.c_str(), to.c_str());
      return error;
    }
    discard(old);
    return llvm::Error::success();
  }
  discard(from);
  return llvm::Error::success();
}

llvm::Error writePythonPackage(const PythonModel &python, mlir::ModuleOp model,
                               StringRef path) {
  while (path.size() > 1 && path.ends_with("/"))
    path = path.drop_back();
  if (llvm::sys::fs::exists(path))
    if (llvm::Error error = checkReplaceable(path))
      return error;
  SmallString<128> scratch;
  llvm::sys::fs::createUniquePath(OutputPath{path.str()}.getTemporaryPattern(),
                                  scratch,
                                  /*MakeAbsolute=*/false);
  if (std::error_code code = llvm::sys::fs::create_directory(
          scratch, /*IgnoreExisting=*/false, llvm::sys::fs::all_all))
    return llvm::errorCodeToError(code);
  llvm::scope_exit cleanUp([&] { discard(scratch); });
  auto writeText = [&](StringRef name, StringRef text) {
    return writeFile(scratch + "/" + name,
                     [&](OutputFile &file) -> llvm::Error {
                       file << text;
                       return llvm::Error::success();
                     });
  };
  auto writeTensors = [&](StringRef name,
                          ArrayRef<std::pair<std::string, Attribute>> tensors) {
    return writeFile(scratch + "/" + name,
                     [&](OutputFile &file) -> llvm::Error {
                       if (failed(writeStateDict(model, tensors, file)))
                         return llvm::createStringError("");
                       return llvm::Error::success();
                     });
  };
  if (llvm::Error error = writeText("__init__.py", initText))
    return error;
  if (llvm::Error error = writeText("model.py", python.source))
    return error;
  if (llvm::Error error = writeTensors("weights.pt", python.state))
    return error;
  if (!python.constants.empty())
    if (llvm::Error error = writeTensors("constants.pt", python.constants))
      return error;
  if (llvm::Error error = moveIntoPlace(scratch.str().str(), path.str()))
    return error;
  return llvm::Error::success();
}

} // namespace fqat
